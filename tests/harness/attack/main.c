/* SPDX-License-Identifier: BSD-2-Clause */
/* attack NAME [ARGUMENT...]: runs the attack NAME; without NAME, prints the names. */
#include <stdio.h>
#include <string.h>

#include "attack.h"

/* The rows that ATTACK() puts into the section "attacks"; the linker defines the symbols. */
extern const struct attack __start_attacks[], __stop_attacks[];

int main(int argc, char **argv)
{
	for (const struct attack *at = __start_attacks; at < __stop_attacks; at++) {
		if (argc < 2)
			puts(at->name);
		else if (!strcmp(at->name, argv[1]))
			at->run(argv + 2);
	}
	if (argc > 1)
		fprintf(stderr, "attack: there is no attack '%s'\n", argv[1]);
	return argc > 1 ? 2 : 0;
}
