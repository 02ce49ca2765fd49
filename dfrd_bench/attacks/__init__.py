"""Adversarial attacks, all driven by one projected-gradient loop; AutoAttack is the library's."""

STANDARD_ATTACKS = ("clean", "fgsm", "pgd20", "cw", "autoattack")
