/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define DELAY_MAX 10000000

enum {
	OPT_NAME_A = 0x100,
	OPT_NAME_B,
	OPT_ADDR_A,
	OPT_ADDR_B,
	OPT_DELAY,
	OPT_QUEUE,
};

static const struct argp_option option_table[] = {
        {"a", 'a', "NETNS", 0, "Namespace of one end: a path such as /proc/PID/ns/net, or self"},
        {"b", 'b', "NETNS", 0, "Namespace of the other end"},
        {"name-a", OPT_NAME_A, "IF", 0,
         "Interface to create in the namespace of --a (default link-a)"},
        {"name-b", OPT_NAME_B, "IF", 0,
         "Interface to create in the namespace of --b (default link-b)"},
        {"addr-a", OPT_ADDR_A, "ADDR/LEN,...", 0, "IPv4 and IPv6 addresses of interface a"},
        {"addr-b", OPT_ADDR_B, "ADDR/LEN,...", 0, "IPv4 and IPv6 addresses of interface b"},
        {"delay-us", OPT_DELAY, "US", 0, "One-way delay (default 5000)"},
        {"queue", OPT_QUEUE, "N", 0, "Packets under way in each direction (default 16384)"},
        {0},
};

static uint64_t options_parse_number(const char *text, const char *what, uint64_t min, uint64_t max,
                                     struct argp_state *state)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || value < min || value > max)
		argp_error(state, "%s: %s is not a number from %" PRIu64 " to %" PRIu64, what, text,
		           min, max);
	return value;
}

static void options_check(const struct options *options, struct argp_state *state)
{
	for (int i = 0; i < 2; i++) {
		if (!options->ends[i].netns || !options->ends[i].addresses)
			argp_error(state, "--%c and --addr-%c are needed", 'a' + i, 'a' + i);
	}
}

static error_t options_parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'a':
	case 'b':
		options->ends[key - 'a'].netns = arg;
		return 0;
	case OPT_NAME_A:
	case OPT_NAME_B:
		options->ends[key - OPT_NAME_A].name = arg;
		return 0;
	case OPT_ADDR_A:
	case OPT_ADDR_B:
		options->ends[key - OPT_ADDR_A].addresses = arg;
		return 0;
	case OPT_DELAY:
		options->delay_us = options_parse_number(arg, "delay", 0, DELAY_MAX, state);
		return 0;
	case OPT_QUEUE:
		options->queue = (size_t)options_parse_number(arg, "queue", 1, 1 << 20, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		options_check(options, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
        .options = option_table,
        .parser = options_parse_option,
        .doc = "Joins two network namespaces by a link with a delay.\v"
               "Prints \"ready\" when the link is up. SIGTERM and SIGINT remove the interfaces, "
               "print how many packets were carried and dropped to standard error, and end the "
               "program.",
};

void options_parse(struct options *options, int argc, char **argv)
{
	*options = (struct options){
	        .ends = {{.name = "link-a", .tun = -1}, {.name = "link-b", .tun = -1}},
	        .delay_us = 5000,
	        .queue = 16384,
	};
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, options);
}
