module lwx/recipe

go 1.19
