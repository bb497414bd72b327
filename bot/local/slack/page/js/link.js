/** The WebSocket to the stand-in: finds its way back by itself, and never sends later what could not be sent now. */

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 5000;

export class Link {
  /** `receive` takes each message; `online` is told true and false as the connection comes and goes. */
  constructor({ receive, online }) {
    this.receive = receive;
    this.online = online;
    this.socket = null;
    this.wait = FIRST_WAIT_MS;
    this.met = false;
  }

  /** Connect as a person, in place of any connection there is. An empty id lets the server choose. */
  connect(person) {
    this.person = person;
    this.socket?.close();
    const url = new URL(`/ui${person ? `?as=${encodeURIComponent(person)}` : ""}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.socket) return;
      this.wait = FIRST_WAIT_MS;
      this.met = true;
      this.online(true);
    });
    socket.addEventListener("message", (event) => socket === this.socket && this.receive(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      if (socket !== this.socket) return;
      this.socket = null;
      this.online(false);
      // An address from another run may name somebody whom this workspace does not have.
      const next = this.met ? this.person : "";
      setTimeout(() => this.socket || this.connect(next), this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    });
  }

  /** Send now; false if there is no connection. Nothing is queued: a drain that runs a minute later is a surprise. */
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}
