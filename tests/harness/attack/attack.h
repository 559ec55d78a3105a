/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks of a worker, a local user or a client on the supervisor and on other services. Each is a
 * function that never returns: it goes on until it is killed. ATTACK() adds a row to the table of
 * main.c.
 */
#pragma once

/* @arguments: what follows the name on the command line, ended by NULL. */
struct attack {
	const char *name;
	void (*run)(char **arguments);
};

struct sockaddr_un;

/* Sends @fd with @text on socket @to, and closes it. @address: NULL if the socket is connected. */
void attack_send_file(int to, const struct sockaddr_un *address, const char *text, int fd);

/* Opens a file of a FUSE server that never answers a read, nor a close by another process. Each
 * time a process begins to wait for it, a byte can be read from @ret_reached. @arguments: the FUSE
 * device and a folder to mount. */
int attack_fuse_open(char **arguments, int *ret_reached);

/* Defines an attack, and registers it under its name. */
#define ATTACK(name)                                                                               \
	static void attack_##name(char **arguments);                                               \
	static const struct attack row_##name __attribute__((                                      \
	        used, section("attacks"), aligned(sizeof(void *)))) = {#name, attack_##name};      \
	static void attack_##name(char **arguments)
