"""Methods that see nothing but the teacher, one file each."""
