// Requests that have not succeeded: the first failure, or that the first of them is awaited.

import { ErrorMessage } from "./error_message";
import { Waiting } from "./progress_bar";
import type { RequestState } from "./use_request";

type Request = Pick<RequestState<unknown>, "error" | "retry"> & { data?: unknown };

export function Pending({ requests, what }: { requests: readonly Request[]; what?: string }) {
  const { error, retry } = requests.find((one) => one.error) ?? requests[0]!;
  const first = requests[0]!;
  return (
    <>
      <ErrorMessage error={error} retry={retry} />
      {what && !first.data && !first.error && <Waiting what={what} />}
    </>
  );
}
