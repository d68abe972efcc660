chmod 751 m/keep m/other
