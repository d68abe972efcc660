mkdir d; echo new > d/f; tar cf t.tar d; rm -r d
