echo new > f; tar cf t.tar f; rm f
