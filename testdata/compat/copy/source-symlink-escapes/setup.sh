ln -s ../../../../../etc/hostname link
