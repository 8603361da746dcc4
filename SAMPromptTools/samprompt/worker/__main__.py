"""``python -m samprompt.worker``: the process that panels talk to; see ``serve``.

Until the channel is taken only the standard library is loaded: nothing may print into the protocol, and a worker whose
packages are missing must still be able to say so.
"""

import sys

from samprompt.worker.channel import Channel

if __name__ == "__main__":
    channel = Channel.of_this_process()
    from samprompt.worker.serve import serve

    sys.exit(serve(channel))
