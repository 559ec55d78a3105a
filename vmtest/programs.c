/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmtest_programs: loads all programs of compiled BPF objects into this kernel. For each program it
 * prints a line of JSON: the number of instructions that the verifier processed, and its size.
 *
 * usage: vmtest_programs OBJECT...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int programs_print_program(const char *object, const struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) < 0) {
		fprintf(stderr, "%s: %s: %s\n", object, bpf_program__name(program),
		        strerror(errno));
		return -1;
	}
	printf("{\"object\":\"%.*s\",\"program\":\"%s\",\"verified_insns\":%u,"
	       "\"xlated_bytes\":%u,\"jited_bytes\":%u}\n",
	       (int)strcspn(object, "."), object, bpf_program__name(program), info.verified_insns,
	       info.xlated_prog_len, info.jited_prog_len);
	return 0;
}

static int programs_print_object(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;
	int result = -1;

	if (!object || bpf_object__load(object) < 0) {
		fprintf(stderr, "%s: %s\n", name, strerror(errno));
	} else {
		result = 0;
		bpf_object__for_each_program(
		        program, object) if (programs_print_program(name, program) < 0) result = -1;
	}
	bpf_object__close(object);
	return result;
}

int main(int argc, char **argv)
{
	int status = EXIT_SUCCESS;

	for (int i = 1; i < argc; i++)
		if (programs_print_object(argv[i]) < 0)
			status = EXIT_FAILURE;
	return status;
}
