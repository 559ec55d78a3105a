/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/address.h"

#define ADDRESS_MAX 160
#define ID_MAX      64

enum mode {
	MODE_PLAIN,
	MODE_THREADS,
	MODE_PREFORK,
};

struct options {
	struct address addresses[ADDRESS_MAX];
	size_t n_addresses;
	const char *id;
	const char *device;
	uint16_t port;
	int backlog;
	int uid; /* -1: don't change the user */
	int grace_ms;
	int work_ms;     /* from a request to its answer, without the processor */
	int burn_ms;     /* processor time of one of @burn_every requests */
	int burn_every;  /* 0: none */
	int reset_every; /* resets one of so many connections instead of an answer; 0: none */
	int fail_every;  /* answers one of so many requests with status 500; 0: none */
	int hang_ms;     /* how long SIGHUP stops the lanes; 0: for good */
	enum mode mode;
	unsigned lanes;
	bool shared;
	bool exclusive;
	bool v6only;
	bool no_reuseport;
	bool no_accept;
	bool no_respawn;
	bool no_keepalive;
	bool blocking;
};

/* Ends the program if the command line is wrong or asks for help. */
void options_parse(struct options *options, int argc, char **argv);
