mkdir d; mkfifo d/p; mknod d/c c 1 3; mknod d/b b 7 1; echo x > d/suid; chmod 4755 d/suid; chmod 1777 d; tar cf t.tar d; rm -r d
