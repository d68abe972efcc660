ln -s file l1; ln -s real dl
