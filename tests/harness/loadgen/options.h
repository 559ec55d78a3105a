/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/address.h"

struct options {
	struct addresses targets;
	struct addresses sources;
	uint64_t connections; /* 0: until stopped */
	uint64_t concurrency;
	uint64_t keepalive; /* requests on each connection */
	uint64_t timeout_us;
	double rate;     /* per second; 0: as many as possible */
	double duration; /* seconds; 0: unlimited */
	double lifetime; /* of a held connection, at most, in seconds; 0: unlimited */
	const char *request;
	const char *log;
	bool hold;
	bool linger0;
	bool json;
	bool quiet;
};

/* Ends the program if the command line is wrong or asks for help. */
void options_parse(struct options *options, int argc, char **argv);

void options_deinit(struct options *options);
