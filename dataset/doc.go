// Package dataset reads labelled samples into memory and divides them into train, validation, calibration and test.
//
// [Load] is the one entry point: it takes the name of a known set ([Known] lists them; "digits" is embedded, the others
// are read from a data folder and their bytes checked against sha256) or the path of the user's own data:
//
//   - a table, .csv, .tsv (both also .gz) or .parquet, with one text column, or with numeric columns as features;
//   - a folder with one folder of .png and .jpg images per class;
//   - one image, where it is read and not divided;
//   - an .npz file with arrays x (one row per sample) and, optionally, y (class numbers).
//
// An official test split stays the test split, and so does an official validation split; the parts that a set lacks are
// drawn from its training samples, by class, from a seed. Training samples that also occur in an official validation or
// test split are left out.
package dataset
