ln -s f l; touch -h -d @1100000003 l; touch -d @1100000000 f; touch -d @1100000001 d/g; touch -d @1100000002 d
