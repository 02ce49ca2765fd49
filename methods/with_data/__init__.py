"""Methods that see the training images, one file each."""
