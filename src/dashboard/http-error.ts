/** What a request is answered with that cannot be served: a status, and a sentence for whoever reads the page. */
export class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
