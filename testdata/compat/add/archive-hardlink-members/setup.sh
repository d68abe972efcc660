mkdir d; echo 1 > d/a; ln d/a d/b; ln d/a d/c; tar cf t.tar d/b d/a d/c; rm -r d
