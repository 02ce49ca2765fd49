"""What leaves a results folder for others: exported students, and submissions to a shared results repository."""
