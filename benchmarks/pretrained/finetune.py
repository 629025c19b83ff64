"""Fine-tunes a BERT encoder as a sequence classifier with transformers and saves it, as users' checkpoints are saved:

    python finetune.py MODEL DATA OUT [--text text] [--label label] [--epochs 2]

MODEL is a folder in Hugging Face's layout, DATA a CSV or TSV file with a header, gzipped or not. The checkpoint is for
`layarun import OUT --data DATA`; layarun draws its own splits, so accuracy on DATA is no figure to report.
"""

import argparse
import csv
import gzip
import random

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def read(path, text, label):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")
    tabs = ".tsv" in path
    with opened as lines:
        rows = csv.DictReader(lines, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL)
        return [(row[text], row[label]) for row in rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="label")
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(1)
    random.seed(1)
    rows = read(args.data, args.text, args.label)
    names = sorted({label for _, label in rows})
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=len(names), id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    model.train()
    batch = 32
    for epoch in range(args.epochs):
        random.shuffle(rows)
        for at in range(0, len(rows) - batch + 1, batch):
            texts, labels = zip(*rows[at : at + batch])
            inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=128, return_tensors="pt")
            loss = model(**inputs, labels=torch.tensor([names.index(label) for label in labels])).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if at // batch % 20 == 0:
                print(f"epoch {epoch + 1}, step {at // batch}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


main()
