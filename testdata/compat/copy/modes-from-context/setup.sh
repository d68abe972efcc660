chmod 0600 a; chmod 4711 b; chmod 0000 c; chmod 1777 d; chmod 2755 d/e; chown 12:34 a d
