touch -d @0 a; touch -d @4102444800 b; touch -d '2004-11-09 11:33:20.5Z' c; tar cf t.tar --format=pax a b c; rm a b c
