echo plain | gzip -n > a.gz; echo not a tar > b.tar; printf 'PK\005\006%018d' 0 | tr 0 '\0' > c.zip; : > empty.tar; head -c 20 /dev/zero > half.tar.gz
