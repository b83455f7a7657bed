"""Where raw code comes from: directories, git repositories, archives and tables, all read into one schema."""

from codemill.recipe import Source
from codemill.sources.base import SourceReader


def open_source(settings: Source) -> SourceReader:
    """The reader of a source's kind. Readers are imported when used: not every run needs git or remote tables."""
    if settings.kind == "directories":
        from codemill.sources.directories import DirectoryReader

        return DirectoryReader(settings)
    if settings.kind == "git":
        from codemill.sources.git import GitReader

        return GitReader(settings)
    if settings.kind == "archives":
        from codemill.sources.archives import ArchiveReader

        return ArchiveReader(settings)
    from codemill.sources.tables import TableReader

    return TableReader(settings)
