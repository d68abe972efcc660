chmod 640 a d/x
