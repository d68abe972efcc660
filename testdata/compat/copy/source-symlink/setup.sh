ln -s file link; ln -s real linkdir; mkdir tree; ln -s ../file tree/l; ln -s /abs tree/abs; ln -s nowhere tree/dang; ln -s ../real tree/d
