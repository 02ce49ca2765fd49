"""Network architectures, for students and for teachers trained here."""
