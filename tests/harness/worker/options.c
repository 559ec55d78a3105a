/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/parse.h"

#define LANE_MAX 1024

enum {
	OPT_V6ONLY = 0x100,
	OPT_BACKLOG,
	OPT_NO_REUSEPORT,
	OPT_NO_ACCEPT,
	OPT_THREADS,
	OPT_PREFORK,
	OPT_SHARED,
	OPT_EXCLUSIVE,
	OPT_NO_RESPAWN,
	OPT_UID,
	OPT_DEVICE,
	OPT_ACCEPT_BLOCKING,
	OPT_KEEPALIVE,
	OPT_NO_KEEPALIVE,
	OPT_WORK,
	OPT_BURN,
	OPT_RESET,
	OPT_FAIL,
	OPT_HANG,
	OPT_GRACE,
};

static const struct argp_option option_table[] = {
        {"port", 'p', "P", 0, "Listen on this port; 0: on any free port, which is printed"},
        {"address", 'a', "ADDR", 0, "Listen on this address; repeatable (default 0.0.0.0)"},
        {"v6only", OPT_V6ONLY, 0, 0, "Don't accept IPv4 on an IPv6 listener (default: accept it)"},
        {"id", 'i', "TEXT", 0,
         "Answer with this id; with --threads and --prefork TEXT.0, TEXT.1, ... (default: the "
         "pid)"},
        {"backlog", OPT_BACKLOG, "N", 0, "Length of the accept queue (default 511)"},
        {"no-reuseport", OPT_NO_REUSEPORT, 0, 0, "Don't set SO_REUSEPORT"},
        {"no-accept", OPT_NO_ACCEPT, 0, 0, "Listen and poll, but don't accept until SIGUSR1"},
        {"threads", OPT_THREADS, "T", 0,
         "Open T listeners for each address, with a thread for each"},
        {"prefork", OPT_PREFORK, "N", 0,
         "Open N listeners for each address; all are open in the parent and in N children, and "
         "each is polled by one child"},
        {"shared", OPT_SHARED, 0, 0,
         "With --prefork: open one listener for each address, polled by all children"},
        {"exclusive", OPT_EXCLUSIVE, 0, 0,
         "With --shared: let the kernel wake one child for a connection (EPOLLEXCLUSIVE), not all"},
        {"no-respawn", OPT_NO_RESPAWN, 0, 0, "With --prefork: don't replace a dead child"},
        {"uid", OPT_UID, "U", 0, "Change to this user before the sockets are created"},
        {"device", OPT_DEVICE, "IF", 0, "Bind the listeners to this interface"},
        {"accept-blocking", OPT_ACCEPT_BLOCKING, 0, 0,
         "Block in accept() instead of using epoll: serve one connection at a time and close it "
         "after its answer; needs a single address"},
        {"keepalive", OPT_KEEPALIVE, 0, 0, "Keep connections open as in HTTP/1.1 (default)"},
        {"no-keepalive", OPT_NO_KEEPALIVE, 0, 0, "Close each connection after its answer"},
        {"work", OPT_WORK, "MS", 0,
         "Answer MS milliseconds after the request, as if a database worked meanwhile; other "
         "connections don't wait (default 0)"},
        {"burn", OPT_BURN, "MS/N", 0,
         "Use MS milliseconds of processor time for one of N requests, by chance; all other "
         "connections of the lane wait"},
        {"reset", OPT_RESET, "N", 0, "Reset one of N connections instead of an answer, by chance"},
        {"fail", OPT_FAIL, "N", 0, "Answer one of N requests with status 500, by chance"},
        {"hang", OPT_HANG, "MS", 0,
         "SIGHUP stops the lanes for MS milliseconds (default: for good)"},
        {"grace", OPT_GRACE, "MS", 0,
         "After SIGTERM, wait at most MS milliseconds for open connections (default 5000)"},
        {0},
};

static int options_parse_number(const char *text, const char *what, int min, int max,
                                struct argp_state *state)
{
	long value = 0;

	if (parse_long(text, min, max, &value) < 0)
		argp_error(state, "%s: %s is not a number from %d to %d", what, text, min, max);
	return (int)value;
}

static void options_parse_address(struct options *options, const char *text,
                                  struct argp_state *state)
{
	struct address address = {0};

	if (!address_parse(text, &address))
		argp_error(state, "address: %s is not an address", text);
	if (options->n_addresses == ADDRESS_MAX)
		argp_error(state, "at most %d addresses are allowed", ADDRESS_MAX);
	options->addresses[options->n_addresses++] = address;
}

static void options_parse_lanes(struct options *options, enum mode mode, const char *what,
                                const char *text, struct argp_state *state)
{
	if (options->mode != MODE_PLAIN)
		argp_error(state, "give either --threads or --prefork, once");
	options->mode = mode;
	options->lanes = (unsigned)options_parse_number(text, what, 1, LANE_MAX, state);
}

static void options_parse_burn(struct options *options, const char *text, struct argp_state *state)
{
	char rest;

	if (sscanf(text, "%d/%d%c", &options->burn_ms, &options->burn_every, &rest) != 2 ||
	    options->burn_ms < 1 || options->burn_every < 1)
		argp_error(state, "burn: %s is not MS/N", text);
}

static void options_check(struct options *options, struct argp_state *state)
{
	if (options->n_addresses == 0)
		options_parse_address(options, "0.0.0.0", state);
	if (options->backlog < 0)
		argp_error(state, "--backlog must not be negative");
	if (options->blocking && options->n_addresses > 1)
		argp_error(state, "--accept-blocking needs a single address");
	if (options->blocking && options->work_ms)
		argp_error(state, "--accept-blocking and --work exclude each other");
	if ((options->shared || options->no_respawn) && options->mode != MODE_PREFORK)
		argp_error(state, "--shared and --no-respawn need --prefork");
	if (options->exclusive && (!options->shared || options->no_accept))
		argp_error(state, "--exclusive needs --shared and excludes --no-accept");
	if (strlen(options->id) > ID_MAX)
		argp_error(state, "--id is longer than %d bytes", ID_MAX);
}

static void options_parse_flag(struct options *options, int key)
{
	switch (key) {
	case OPT_V6ONLY:
		options->v6only = true;
		return;
	case OPT_NO_REUSEPORT:
		options->no_reuseport = true;
		return;
	case OPT_NO_ACCEPT:
		options->no_accept = true;
		return;
	case OPT_SHARED:
		options->shared = true;
		return;
	case OPT_EXCLUSIVE:
		options->exclusive = true;
		return;
	case OPT_NO_RESPAWN:
		options->no_respawn = true;
		return;
	case OPT_ACCEPT_BLOCKING:
		options->blocking = true;
		return;
	case OPT_KEEPALIVE:
		options->no_keepalive = false;
		return;
	case OPT_NO_KEEPALIVE:
		options->no_keepalive = true;
		return;
	}
}

static error_t options_parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'p':
		options->port = (uint16_t)options_parse_number(arg, "port", 0, UINT16_MAX, state);
		return 0;
	case 'a':
		options_parse_address(options, arg, state);
		return 0;
	case 'i':
		options->id = arg;
		return 0;
	case OPT_BACKLOG:
		options->backlog = options_parse_number(arg, "backlog", 0, 1 << 20, state);
		return 0;
	case OPT_THREADS:
		options_parse_lanes(options, MODE_THREADS, "threads", arg, state);
		return 0;
	case OPT_PREFORK:
		options_parse_lanes(options, MODE_PREFORK, "prefork", arg, state);
		return 0;
	case OPT_UID:
		options->uid = options_parse_number(arg, "uid", 0, INT32_MAX, state);
		return 0;
	case OPT_DEVICE:
		options->device = arg;
		return 0;
	case OPT_WORK:
		options->work_ms = options_parse_number(arg, "work", 0, 1 << 30, state);
		return 0;
	case OPT_BURN:
		options_parse_burn(options, arg, state);
		return 0;
	case OPT_RESET:
		options->reset_every = options_parse_number(arg, "reset", 1, 1 << 30, state);
		return 0;
	case OPT_FAIL:
		options->fail_every = options_parse_number(arg, "fail", 1, 1 << 30, state);
		return 0;
	case OPT_HANG:
		options->hang_ms = options_parse_number(arg, "hang", 1, 3600000, state);
		return 0;
	case OPT_GRACE:
		options->grace_ms = options_parse_number(arg, "grace", 0, 1 << 30, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		options_check(options, state);
		return 0;
	default:
		if (key < OPT_V6ONLY || key > OPT_GRACE)
			return ARGP_ERR_UNKNOWN;
		options_parse_flag(options, key);
		return 0;
	}
}

static const struct argp parser = {
        .options = option_table,
        .parser = options_parse_option,
        .doc = "Answers every HTTP request with its id, in the header X-Worker and as the body. "
               "For "
               "the path /pid the body is the pid.\v"
               "Prints \"ready PID PORT\" when all listeners are polled. With --prefork it first "
               "prints a line \"child K PID\" for each child, and again when it replaces a dead "
               "child.\n\n"
               "SIGTERM, SIGINT: close the listeners, finish the open connections, exit with "
               "status 0. SIGUSR1: start to accept. SIGUSR2: close the listeners and continue with "
               "the open connections. SIGHUP: every lane stops for the time of --hang, as in an "
               "endless loop, and prints \"hangs N\" first: N connections wait to be accepted. "
               "A --prefork parent passes signals on to its children.",
};

void options_parse(struct options *options, int argc, char **argv)
{
	static char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	*options = (struct options){
	        .id = pid,
	        .backlog = 511,
	        .uid = -1,
	        .grace_ms = 5000,
	        .lanes = 1,
	};
	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, options);
}
