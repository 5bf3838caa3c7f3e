/* replay: runs a fuzz target over the files that are named, so that a build
 * without libFuzzer keeps what fuzzing once found. */
#include "fuzz.h"

static int run(const char *name)
{
	FILE *file = fopen(name, "rb");
	uint8_t *p = NULL;
	long n;

	if (!file || fseek(file, 0, SEEK_END) < 0 || (n = ftell(file)) < 0 ||
	    fseek(file, 0, SEEK_SET) < 0 || !(p = malloc(n ? (size_t)n : 1)) ||
	    fread(p, 1, (size_t)n, file) != (size_t)n) {
		perror(name);
		free(p);
		if (file)
			fclose(file);
		return -1;
	}
	fclose(file);
	LLVMFuzzerTestOneInput(p, (size_t)n);
	free(p);
	return 0;
}

int main(int argc, char **argv)
{
	int status = EXIT_SUCCESS;

	for (int i = 1; i < argc; i++)
		if (run(argv[i]) < 0)
			status = EXIT_FAILURE;
	printf("%d inputs\n", argc - 1);
	return status;
}
