ln d/a d/b; mkdir d/sub; ln d/a d/sub/c
