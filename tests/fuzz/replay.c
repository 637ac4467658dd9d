/* Runs a fuzz target over files, or over all files of folders, given as arguments: the corpus as a test. */
#include <dirent.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "fuzz.h"

enum { MAX_FILE_BYTES = 1 << 26 };

static int replay_file(const char *path)
{
    uint8_t *bytes;
    size_t size;
    eq_context *ctx = eq_context_new();
    eq_status status = eq_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size);
    if (status != EQ_OK) {
        fprintf(stderr, "%s\n", eq_last_error(ctx));
        eq_context_free(ctx);
        return -1;
    }
    /* A copy of the exact size lets the sanitizers see a read of one byte too many. */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact) {
        memcpy(exact, bytes, size);
        fprintf(stderr, "%s\n", path);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(bytes);
    eq_context_free(ctx);
    return exact ? 1 : -1;
}

/* The number of files run, or -1. */
static int replay_folder(const char *folder)
{
    int count = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return -1;
    for (struct dirent *entry; count >= 0 && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = eq_path_join(folder, entry->d_name);
        count = path && replay_file(path) > 0 ? count + 1 : -1;
        free(path);
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int count = eq_path_is_folder(argv[i]) ? replay_folder(argv[i]) : replay_file(argv[i]);
        if (count < 1) {
            fprintf(stderr, "%s: nothing to run, or not readable\n", argv[i]);
            return 1;
        }
    }
    return argc > 1 ? 0 : 1;
}
