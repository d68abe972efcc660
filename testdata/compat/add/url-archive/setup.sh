mkdir www; echo f > f; touch -d @1100000000 f; tar czf www/t.tar.gz f; touch -d @1200000000 www/t.tar.gz; rm f
