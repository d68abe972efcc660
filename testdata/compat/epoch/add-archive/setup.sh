mkdir d; echo f > d/f; touch -d @1100000000 d/f; touch -d @1100000001 d; tar cf t.tar d; rm -r d
