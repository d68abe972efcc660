mkdir d; echo f > d/f; tar cf t.tar d; rm -r d
