truncate -s 1M s; echo end >> s; tar cSf t.tar s; rm s
