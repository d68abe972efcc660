mkdir d; touch d/'new
line' d/'tab	x' d/'quote"s' d/"it's" d/'back\slash' d/' lead' d/'trail ' d/-dash d/'$VAR' d/'*' d/.wx
