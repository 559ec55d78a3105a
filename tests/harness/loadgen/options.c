/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

enum {
	OPT_TIMEOUT = 0x100,
	OPT_REQUEST,
	OPT_HOLD,
	OPT_LIFETIME,
	OPT_KEEPALIVE,
	OPT_SOURCE,
	OPT_LINGER0,
	OPT_LOG,
	OPT_JSON,
};

static const struct argp_option option_table[] = {
        {"target", 't', "ADDR:PORT", 0,
         "Connect to this address; [ADDR]:PORT for IPv6. Repeatable: connections take the targets "
         "in turn"},
        {"connections", 'n', "N", 0, "Begin N connections (default 0: until stopped)"},
        {"concurrency", 'c', "C", 0,
         "Let at most C connections wait for an answer at the same time (default 64)"},
        {"rate", 'r', "R", 0, "Begin R connections a second (default 0: as many as possible)"},
        {"duration", 'd', "S", 0, "Stop after S seconds, as after a signal"},
        {"timeout", OPT_TIMEOUT, "MS", 0,
         "Wait at most MS milliseconds for an answer, from the start of the connection or of a "
         "later request (default 5000)"},
        {"request", OPT_REQUEST, "TEXT", 0,
         "Send TEXT unchanged (default: GET / with Host, and \"Connection: close\" unless --hold "
         "or --keepalive is given). If TEXT is empty, send nothing; a connection is ok as soon as "
         "it is established"},
        {"hold", OPT_HOLD, 0, 0,
         "Keep every connection open after its first answer; print \"holding N\" when all are "
         "answered or have failed. Close them on a signal, at the end of --duration, or at the "
         "end of standard input if that is a pipe, socket or terminal. A connection that the "
         "server ends before is closed_early or reset"},
        {"lifetime", OPT_LIFETIME, "S", 0,
         "With --hold: close each connection after a random time of at most S seconds, and begin "
         "another one for each that has ended, so that always N are open"},
        {"keepalive", OPT_KEEPALIVE, "K", 0,
         "Send K requests on each connection; fewer if the server answers \"Connection: close\", "
         "which is ok"},
        {"source", OPT_SOURCE, "ADDR", 0,
         "Connect from this address. Repeatable: connections take the addresses in turn (default: "
         "the kernel's choice; for IPv4 loopback targets 127.0.0.1 to 127.0.0.16)"},
        {"linger0", OPT_LINGER0, 0, 0, "Close with a RST, which leaves no TIME_WAIT"},
        {"log", OPT_LOG, "FILE", 0,
         "Write a line for each finished connection: start and end (CLOCK_MONOTONIC, us), index "
         "of the target, worker, outcome"},
        {"json", OPT_JSON, 0, 0, "Print the report as one line of JSON"},
        {"quiet", 'q', 0, 0, "Print no report except that of --json, and no hints"},
        {0},
};

static double options_parse_number(const char *text, const char *what, double min, double max,
                                   struct argp_state *state)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (errno || end == text || *end || !(value >= min && value <= max))
		argp_error(state, "%s: %s is not a number from %.0f to %.0f", what, text, min, max);
	return value;
}

static uint64_t options_parse_count(const char *text, const char *what, double min,
                                    struct argp_state *state)
{
	return (uint64_t)options_parse_number(text, what, min, 1e15, state);
}

static void options_parse_target(struct options *options, const char *text,
                                 struct argp_state *state)
{
	struct address address;

	if (!address_parse_with_port(text, &address))
		argp_error(state, "target: %s is not ADDR:PORT or [ADDR]:PORT", text);
	addresses_add(&options->targets, &address);
}

static void options_parse_source(struct options *options, const char *text,
                                 struct argp_state *state)
{
	struct address address;

	if (!address_parse(text, &address))
		argp_error(state, "source: %s is not an address", text);
	addresses_add(&options->sources, &address);
}

static void options_check(const struct options *options, struct argp_state *state)
{
	if (options->targets.n == 0)
		argp_error(state, "--target is missing");
	if (options->hold && options->connections == 0)
		argp_error(state, "--hold needs --connections");
	if (options->lifetime > 0 && !options->hold)
		argp_error(state, "--lifetime needs --hold");
	if (options->hold && options->keepalive > 1)
		argp_error(state, "--hold and --keepalive exclude each other");
	if (options->keepalive > 1 && options->request && !options->request[0])
		argp_error(state, "--keepalive needs a --request that is not empty");
}

static void options_parse_flag(struct options *options, int key)
{
	switch (key) {
	case OPT_HOLD:
		options->hold = true;
		return;
	case OPT_LINGER0:
		options->linger0 = true;
		return;
	case OPT_JSON:
		options->json = true;
		return;
	case 'q':
		options->quiet = true;
		return;
	}
}

static error_t options_parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 't':
		options_parse_target(options, arg, state);
		return 0;
	case 'n':
		options->connections = options_parse_count(arg, "connections", 0, state);
		return 0;
	case 'c':
		options->concurrency = options_parse_count(arg, "concurrency", 1, state);
		return 0;
	case 'r':
		options->rate = options_parse_number(arg, "rate", 0, 1e6, state);
		return 0;
	case 'd':
		options->duration = options_parse_number(arg, "duration", 0, 1e9, state);
		return 0;
	case OPT_TIMEOUT:
		options->timeout_us = options_parse_count(arg, "timeout", 1, state) * 1000;
		return 0;
	case OPT_LIFETIME:
		options->lifetime = options_parse_number(arg, "lifetime", 0, 1e6, state);
		return 0;
	case OPT_REQUEST:
		options->request = arg;
		return 0;
	case OPT_KEEPALIVE:
		options->keepalive = options_parse_count(arg, "keepalive", 1, state);
		return 0;
	case OPT_SOURCE:
		options_parse_source(options, arg, state);
		return 0;
	case OPT_LOG:
		options->log = arg;
		return 0;
	case OPT_HOLD:
	case OPT_LINGER0:
	case OPT_JSON:
	case 'q':
		options_parse_flag(options, key);
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
        .doc = "Opens TCP connections, sends an HTTP request on each, and counts how every "
               "connection ended and which worker answered it (header X-Worker, or the body).\v"
               "Outcomes: ok, refused, reset, timeout, closed_early (ended before the answer was "
               "complete), bad_answer (not HTTP, or a status other than 200), local_error (a fault "
               "of this machine: no port, no route, ...). On SIGTERM and SIGINT loadgen begins no "
               "further connection, lets the connections in flight finish, and reports.\n\n"
               "Exit status: 0 if no connection failed, 1 if one failed, 2 for wrong usage.",
};

void options_parse(struct options *options, int argc, char **argv)
{
	*options = (struct options){
	        .concurrency = 64,
	        .keepalive = 1,
	        .timeout_us = 5000000,
	};
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, options);
}

void options_deinit(struct options *options)
{
	free(options->targets.list);
	free(options->sources.list);
}
