/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run directory of a service that is run, /run/reuseportd/SERVICE. It has the sockets, the
 * workers' output, and notes for the next supervisor.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define RUN_DIR_ROOT "/run/reuseportd"

/* The path of the service's run directory or, with @name, of a file in it. */
void run_dir_path(const char *service, const char *name, char *buf, size_t size);

/* Makes /run/reuseportd, unless it exists. Returns 0, or a negative errno with @err set. */
int run_dir_make_root(struct error *err);

/* Makes the directory and its folder for the workers' output, unless they exist. Returns 0, or a
 * negative errno with @err set. */
int run_dir_make(const char *service, struct error *err);

/* Makes @text the content of the file @name: the file is replaced as a whole, or stays as it was.
 * Returns 0, or a negative errno. */
int run_dir_write(const char *service, const char *name, const char *text);

/* Removes that file. */
void run_dir_unlink(const char *service, const char *name);

/* Removes the workers' output and, as far as they are empty, the directory and its folder. */
void run_dir_remove(const char *service);

/* Removes /run/reuseportd if it is empty. */
void run_dir_remove_root(void);

/* Reads the path of the service's cgroup from its note. Each worker's processes are in a child of
 * that cgroup, "SLOT-NUMBER". Returns false if there is no note. */
bool run_dir_cgroup(const char *service, char ret[PATH_MAX]);

/* Notes the path of the service's cgroup. Returns 0, or a negative errno with @err set. */
int run_dir_note_cgroup(const char *service, const char *path, struct error *err);

/* Removes that note. */
void run_dir_forget_cgroup(const char *service);
