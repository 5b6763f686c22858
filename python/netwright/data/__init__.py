"""Data sets, decoded once into a cache that the worker maps.

    python -m netwright.data prepare --dataset cifar10 --cache DIR --validation 5000 --seed 0

`DIR` afterwards holds

    meta.json                       {dataset, channels, height, width, classes, mean, std, train,
                                    validation, test, source, fingerprint}
    public/                         what the process that runs candidates may see:
        meta.json                   the same
        train_images.npy            uint8 (N, C, H, W), shuffled once with the seed
        train_labels.npy            uint8 (N,)
        validation_images.npy       absent when the validation split is empty
        test_images.npy
    private/                        what it may not:
        validation_labels.bin       one byte for each image
        test_labels.bin

The validation split is drawn from the training set with the seed, each class in proportion.
Progress and the result are JSON lines on standard output; an error names the file and the next
step.
"""
