"""Adversarial attacks, all driven by one projected-gradient loop; AutoAttack is the library's."""
