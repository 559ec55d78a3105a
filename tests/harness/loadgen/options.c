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
	OPT_KEEPALIVE,
	OPT_SOURCE,
	OPT_LINGER0,
	OPT_LOG,
	OPT_JSON,
};

static const struct argp_option option_table[] = {
        {"target", 't', "ADDR:PORT", 0,
         "Where to connect; [ADDR]:PORT for IPv6. Repeatable: connections take the targets in "
         "turn"},
        {"connections", 'n', "N", 0, "How many to begin in all (default 0: until stopped)"},
        {"concurrency", 'c', "C", 0, "How many may wait for an answer at once (default 64)"},
        {"rate", 'r', "R", 0, "Connections a second (default 0: as fast as the machine gives)"},
        {"duration", 'd', "S", 0, "Stop after S seconds, as a signal would"},
        {"timeout", OPT_TIMEOUT, "MS", 0,
         "Longest wait for an answer, from the begin of the connection (or of a later request) "
         "(default 5000)"},
        {"request", OPT_REQUEST, "TEXT", 0,
         "What to send, as it stands (default: GET / with Host, and with \"Connection: close\" "
         "unless --hold or --keepalive). Empty: send nothing, and a connection is ok as soon as "
         "it is established"},
        {"hold", OPT_HOLD, 0, 0,
         "Keep every connection open after its first answer; print \"holding N\" when all are "
         "settled; close them on a signal, at the end of --duration, or at the end of standard "
         "input if that is a pipe, socket or terminal. One that the server ends before is "
         "closed_early or reset"},
        {"keepalive", OPT_KEEPALIVE, "K", 0,
         "K requests on each connection; fewer, and still ok, if the server says \"Connection: "
         "close\""},
        {"source", OPT_SOURCE, "ADDR", 0,
         "Connect from this address. Repeatable: in turn (default: the kernel's choice, but "
         "127.0.0.1 to 127.0.0.16 for IPv4 loopback targets)"},
        {"linger0", OPT_LINGER0, 0, 0, "Close by RST, which leaves no TIME_WAIT"},
        {"log", OPT_LOG, "FILE", 0,
         "A line for each finished connection: start and end (CLOCK_MONOTONIC, us), index of the "
         "target, worker, outcome"},
        {"json", OPT_JSON, 0, 0, "Report as one line of JSON"},
        {"quiet", 'q', 0, 0, "No report but that of --json, no hints"},
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
		argp_error(state, "where to? Name a --target");
	if (options->hold && options->connections == 0)
		argp_error(state, "--hold needs --connections");
	if (options->hold && options->keepalive > 1)
		argp_error(state, "--hold and --keepalive exclude each other");
	if (options->keepalive > 1 && options->request && !options->request[0])
		argp_error(state, "--keepalive needs a request");
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
		argp_error(state, "%s: what is that?", arg);
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
        .doc = "Opens TCP connections, asks an HTTP question on each, and counts how every one of "
               "them ended and which worker answered it (header X-Worker, else the body).\v"
               "Outcomes: ok, refused, reset, timeout, closed_early (end before a whole answer), "
               "bad_answer (no HTTP, or a status that is not 200), local_error (no port, no route, "
               "...: a fault of this side). SIGTERM and SIGINT: begin nothing more, let the "
               "connections in flight finish, report.\n\n"
               "Exit status: 0 if none failed, 1 if any did, 2 for bad usage.",
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
