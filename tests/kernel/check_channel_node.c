/* SPDX-License-Identifier: BSD-2-Clause */
/* supervise/channel with programs in Node.js, as under PM2. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "beds/loop_bed.h"
#include "check/check.h"
#include "kern/spawn.h"
#include "supervise/channel.h"

#define WORKER_FD 3
#define HEARD_MAX 64
#define MANY      5000

/* On the channel the program sends "ready", then ticks, and each message that it gets. To its
 * output it writes errors of the channel and, after the message "alone", that it has sent some
 * ticks. */
static const char program[] =
        "const say = text => require('fs').writeSync(1, text + '\\n');"
        "let alone = 0;"
        "const tick = () => process.send('tick', e => {"
        "  if (e) say('send: ' + e.code);"
        "  if (alone && --alone === 0) say('connected ' + process.connected);"
        "});"
        "process.on('message', m => {"
        "  if (m === 'many') for (let i = 0; i < 5000; i++) process.send('message ' + i);"
        "  else if (m === 'leave') process.disconnect();"
        "  else if (m === 'alone') alone = 5;"
        "  else process.send({type: 'heard ' + m + ' ' + process.connected});"
        "});"
        "process.on('disconnect', () => say('disconnected'));"
        "process.send('ready');"
        "setInterval(() => { if (process.connected) tick(); }, 20);";

struct node {
	sd_event *loop;
	struct channel *channel;
	int kept;               /* our end, as a log process keeps it; -1 = closed */
	int pid, pidfd, output; /* the program's */
	char last[64];          /* the last message other than a tick */
	size_t n, n_ticks;
};

static void hear(const char *text, void *data)
{
	struct node *node = data;

	if (!strcmp(text, "tick")) {
		node->n_ticks++;
		return;
	}
	snprintf(node->last, sizeof(node->last), "%s", text);
	node->n++;
}

static struct node node_new(void)
{
	return (struct node){.loop = loop_bed_new(), .kept = -1, .pidfd = -1, .output = -1};
}

static void node_end(struct node *node)
{
	if (node->pid > 0)
		kill(node->pid, SIGKILL);
	if (node->pid > 0)
		waitpid(node->pid, NULL, 0);
	channel_free(node->channel);
	cleanup_close(&node->kept);
	cleanup_close(&node->pidfd);
	cleanup_close(&node->output);
	sd_event_unref(node->loop);
}

#define _cleanup_node_ _cleanup_(node_end)

static bool node_start(struct node *node, const char *script)
{
	char *argv[] = {"node", "-e", (char *)script, NULL};
	char *env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "NODE_CHANNEL_FD=3",
	               "NODE_CHANNEL_SERIALIZATION_MODE=json", NULL};
	_cleanup_close_ int worker = -1;
	struct spawn_fd fds[2] = {{.target = STDOUT_FILENO}, {.target = WORKER_FD}};
	struct spawn_request request = {
	        .argv = argv, .env = env, .cgroup = -1, .fds = fds, .n_fds = 2};
	struct error err = {0};
	int output[2];

	if (!node->loop || pipe2(output, O_CLOEXEC) < 0)
		return false;
	node->output = output[0];
	fds[0].fd = output[1];
	if (channel_new(node->loop, 0, 1, hear, node, &node->channel, &worker, &err) == 0) {
		fds[1].fd = worker;
		node->kept = fcntl(channel_fd(node->channel), F_DUPFD_CLOEXEC, 0);
		node->pid = spawn_start(&request, &node->pidfd, &err);
	}
	close(output[1]);
	if (node->pid <= 0)
		fprintf(stderr, "%s\n", err.text);
	return node->pid > 0;
}

static bool adopt(struct node *node)
{
	struct error err = {0};
	const int r = channel_open(node->loop, fcntl(node->kept, F_DUPFD_CLOEXEC, 0), hear, node,
	                           &node->channel, &err);

	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return r == 0;
}

static bool has_written(const struct node *node)
{
	struct pollfd wait = {.fd = node->output, .events = POLLIN};

	return poll(&wait, 1, 0) == 1;
}

/* Whether the output of the program is this text. */
static bool wrote(const struct node *node, const char *text)
{
	char buf[256] = "";

	return has_written(node) && read(node->output, buf, sizeof(buf) - 1) > 0 &&
	       !strcmp(buf, text);
}

static void read_line(const struct node *node, char line[64])
{
	size_t n = 0;

	do {
		CHECK_UNTIL(has_written(node));
		CHECK(n < 63 && read(node->output, &line[n], 1) == 1);
	} while (line[n++] != '\n');
	line[n] = '\0';
}

static bool lives(const struct node *node)
{
	struct pollfd end = {.fd = node->pidfd, .events = POLLIN};

	return poll(&end, 1, 0) == 0;
}

/* ---- The cases ---- */

static void messages_both_ways(void)
{
	_cleanup_node_ struct node node = node_new();

	CHECK(node_start(&node, program));
	CHECK_LOOP(node.loop, node.n == 1);
	CHECK(!strcmp(node.last, "ready"));
	CHECK(channel_send(node.channel, "drain") == 0);
	CHECK_LOOP(node.loop, node.n == 2);
	CHECK(!strcmp(node.last, "heard drain true"));
	CHECK(channel_send(node.channel, "shutdown") == 0);
	CHECK_LOOP(node.loop, node.n == 3);
	CHECK(!strcmp(node.last, "heard shutdown true"));
	CHECK(!has_written(&node) && lives(&node));
}

/* More messages than fit in the socket. */
static void many_messages(void)
{
	_cleanup_node_ struct node node = node_new();
	char last[32];

	snprintf(last, sizeof(last), "message %d", MANY - 1);
	CHECK(node_start(&node, program));
	CHECK_LOOP(node.loop, node.n == 1);
	CHECK(channel_send(node.channel, "many") == 0);
	CHECK_LOOP(node.loop, node.n == 1 + MANY);
	CHECK(!strcmp(node.last, last));
}

/* The channel does not keep a program alive that has nothing more to do. */
static void program_ends_by_itself(void)
{
	_cleanup_node_ struct node node = node_new();
	siginfo_t end = {0};

	CHECK(node_start(&node, "process.send('ready'); process.send({cmd: 'NODE_X', type: 'x'})"));
	CHECK_LOOP(node.loop, !lives(&node));
	CHECK(waitid(P_PIDFD, (id_t)node.pidfd, &end, WEXITED | WNOWAIT) == 0);
	CHECK(end.si_code == CLD_EXITED && end.si_status == 0);
	CHECK_LOOP(node.loop, sd_event_run(node.loop, 0) == 0);
	CHECK(node.n == 1 && !strcmp(node.last, "ready"));
	CHECK(channel_send(node.channel, "drain") == -EPIPE);
}

/* A program is disconnected when our end is open nowhere any more. channel_taken_over
 * needs this to be so. It may be about to send a tick just then, which fails. */
static void disconnect_without_our_end(void)
{
	_cleanup_node_ struct node node = node_new();
	char line[64];

	CHECK(node_start(&node, program));
	CHECK_LOOP(node.loop, node.n == 1);
	channel_free(TAKE_PTR(node.channel));
	close(TAKE_FD(node.kept));
	do
		read_line(&node, line);
	while (!strncmp(line, "send: ", 6));
	CHECK(!strcmp(line, "disconnected\n"));
}

/* One supervisor after the other takes the channel over: the program does not notice, and messages
 * that it sends in between arrive. */
static void channel_taken_over(void)
{
	_cleanup_node_ struct node node = node_new();

	CHECK(node_start(&node, program));
	CHECK_LOOP(node.loop, node.n == 1 && !strcmp(node.last, "ready"));
	for (int i = 0; i < 3; i++) {
		CHECK(channel_send(node.channel, "alone") == 0);
		channel_free(TAKE_PTR(node.channel));
		node.n = node.n_ticks = 0;
		CHECK_UNTIL(has_written(&node));
		CHECK(wrote(&node, "connected true\n"));
		CHECK(adopt(&node) && channel_send(node.channel, "drain") == 0);
		CHECK_LOOP(node.loop, node.n == 1);
		CHECK(node.n_ticks >= 5);
		CHECK(!strcmp(node.last, "heard drain true"));
	}
	CHECK(!has_written(&node) && lives(&node));
}

/* The program closes its end. */
static void program_disconnects(void)
{
	_cleanup_node_ struct node node = node_new();

	CHECK(node_start(&node, program));
	CHECK_LOOP(node.loop, node.n == 1);
	CHECK(channel_send(node.channel, "leave") == 0);
	CHECK_LOOP(node.loop, has_written(&node));
	CHECK(wrote(&node, "disconnected\n"));
	CHECK_UNTIL(channel_send(node.channel, "drain") == -EPIPE);
	channel_free(TAKE_PTR(node.channel));
	CHECK(adopt(&node) && channel_send(node.channel, "drain") == -EPIPE && lives(&node));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
	        CHECK_CASE(messages_both_ways),     CHECK_CASE(many_messages),
	        CHECK_CASE(program_ends_by_itself), CHECK_CASE(disconnect_without_our_end),
	        CHECK_CASE(channel_taken_over),     CHECK_CASE(program_disconnects),
	};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
