mkdir d; echo f > f; tar cf d/t.tar f; rm f
