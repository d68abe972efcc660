touch -d @1100000000 a d/x d/e/y d/e d; mkdir t; echo > t/u; touch -d @1100000000 t/u; tar -C t -cf t.tar u; rm -r t
