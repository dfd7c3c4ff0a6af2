#include "greet.h"

#include <stdio.h>

int main(void)
{
	char text[64];

	greet(text, sizeof text, "c");
	return puts(text) < 0;
}
