"""TF-IDF and logistic regression on the splits that layarun exports: the baseline of every text table.

    python tfidf.py SPLITS RESULT

SPLITS is a folder written by `go run ./benchmarks/splits`. The n-grams and C are chosen on the validation split; the
model that won there is trained on the training split alone, as the networks are, and reported on the test split. RESULT is a JSON file; it holds the answer to every test sample, so that the accuracy can be recomputed.
"""

import json
import pathlib
import platform
import sys

import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

STRENGTHS = [3, 10, 30, 100]  # C, the inverse of the penalty


def features():
    """The candidate vectorisers, by name."""
    return {
        "words": TfidfVectorizer(sublinear_tf=True),
        "words and pairs": TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)),
    }


def read(folder, part):
    """The texts and labels of one split."""
    lines = (folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    return [s["text"] for s in samples], [s["label"] for s in samples]


def main(folder, target):
    index = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    train, train_labels = read(folder, "train")
    validation, validation_labels = read(folder, "validation")
    test, test_labels = read(folder, "test")

    tried, best = [], None
    for name, vectoriser in features().items():
        x = vectoriser.fit_transform(train)
        x_validation = vectoriser.transform(validation)
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3).fit(x, train_labels)
            accuracy = model.score(x_validation, validation_labels)
            tried.append({"features": name, "c": strength, "validation_accuracy": accuracy})
            print(f"{name}, C {strength}: {accuracy:.4f}", file=sys.stderr, flush=True)
            if best is None or accuracy > best[0]:
                best = accuracy, name, strength, vectoriser, model

    accuracy, name, strength, vectoriser, model = best
    answers = [int(a) for a in model.predict(vectoriser.transform(test))]
    result = {
        "schema": "layarun.baseline/1",
        "name": f"{index['name']}-tfidf",
        "data": index["name"],
        "split": index["digests"]["test"],
        "environment": {"python": platform.python_version(), "scikit_learn": sklearn.__version__},
        "features": name,
        "c": strength,
        "tried": tried,
        "validation_accuracy": accuracy,
        "n": len(test),
        "accuracy": sum(a == y for a, y in zip(answers, test_labels)) / len(test),
        "labels": test_labels,
        "answers": answers,
    }
    text = json.dumps(result)
    target.write_text(text.replace(', "', ',\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
