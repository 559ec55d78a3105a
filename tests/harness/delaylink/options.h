/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define EXIT_USAGE 2

/* One end of the link. */
struct end {
	const char *netns; /* a path, or "self" */
	const char *name;
	const char *addresses; /* ADDR/PREFIX,... */
	int tun;               /* descriptor of the device; -1 until device_open() */
};

struct options {
	struct end ends[2];
	uint64_t delay_us;
	size_t queue;
};

/* Ends the program if the command line is wrong or asks for help. */
void options_parse(struct options *options, int argc, char **argv);
