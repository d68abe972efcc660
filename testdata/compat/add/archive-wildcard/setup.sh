echo 1 > a; echo 2 > b; tar cf a.tar a; tar cf b.tar b; rm a b
