/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder for a test program: the folder that its tests run in, with small files. */
#pragma once

/* The path of the folder. */
extern char files_folder[];

/* Setup and teardown of a group of tests: make and enter the folder, and remove it. */
int files_setup(void **state);
int files_teardown(void **state);

/* Writes a file, in the folder if @name is relative. */
void files_write(const char *name, const char *text);

/* Makes empty executable files, and makes the folder the only one in PATH. @names: up to NULL. */
void files_programs(const char *const *names);
