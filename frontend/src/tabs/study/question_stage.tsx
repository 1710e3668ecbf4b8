// A question on the screen: two maps to choose from, or one to rate.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Loaded } from "./questions";
import type { Progress } from "./session";

const RATINGS = ["not at all", "a little", "partly", "well", "very well"];

interface Props {
  loaded: Loaded;
  progress: Progress;
  /** The answer that is, or was, given. */
  answer: number | null;
  choose: (answer: number) => void;
  back: () => void;
  onward: () => void;
  stop: () => void;
}

export function QuestionStage({ loaded, progress, answer, choose, back, onward, stop }: Props) {
  const { trial, original, maps } = loaded;
  const { answered, total, open } = progress;
  const pair = trial.kind === "pair";
  const question = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => question.current!.focus(), []);
  return (
    <div class="stage">
      <div class="row head">
        <button disabled={trial.position === 0} onClick={back}>
          Back <Key sign="⌫" />
        </button>
        <progress aria-label="Questions answered" max={total} value={answered} />
        <span class="count">{`${trial.position + 1} of ${total}`}</span>
        <button class="quiet" onClick={stop}>
          Stop
        </button>
      </div>
      <h2 class="question" tabIndex={-1} aria-live="polite" ref={question}>
        {`${trial.question} ${pair ? "Which map explains the prediction better?" : "How well does this map explain the prediction?"}`}
      </h2>
      <div class={`pictures ${trial.kind}`}>
        <figure class="side left">
          <Shown image={maps[0]!} alt={pair ? "map on the left" : "the map"} />
          {pair && <Pick side={1} pressed={answer === 1} choose={choose} />}
        </figure>
        <figure class="original">
          <Shown image={original} alt="the image without a map" />
          <figcaption>The image</figcaption>
        </figure>
        {pair && (
          <figure class="side right">
            <Shown image={maps[1]!} alt="map on the right" />
            <Pick side={2} pressed={answer === 2} choose={choose} />
          </figure>
        )}
      </div>
      {!pair && (
        <div class="rates" role="group" aria-label="How well does the map explain the prediction?">
          {RATINGS.map((words, i) => (
            <button
              key={words}
              class="pick"
              aria-keyshortcuts={String(i + 1)}
              aria-label={`${i + 1}: ${words}`}
              aria-pressed={answer === i + 1}
              onClick={() => choose(i + 1)}
            >
              <Key sign={String(i + 1)} />
              <span>{words}</span>
            </button>
          ))}
        </div>
      )}
      <div class="row after">
        {trial.position !== open && <button onClick={onward}>Continue without a change</button>}
      </div>
      <p class="note keys">
        {pair ? (
          <>
            Keys: <Key sign="←" /> <Key sign="→" /> or <Key sign="1" /> <Key sign="2" /> or <Key sign="F" /> <Key sign="J" />.
          </>
        ) : (
          <>
            Keys: <Key sign="1" /> to <Key sign="5" />.
          </>
        )}{" "}
        <Key sign="⌫" /> returns to the previous question.
      </p>
    </div>
  );
}

const Key = ({ sign }: { sign: string }) => <kbd aria-hidden="true">{sign}</kbd>;

/** The decoded image itself: an image element of its own could be displayed later than the others. */
function Shown({ image, alt }: { image: HTMLImageElement; alt: string }) {
  const frame = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    image.alt = alt;
    frame.current!.replaceChildren(image);
  }, [image, alt]);
  return <div class="frame" ref={frame} />;
}

function Pick({ side, pressed, choose }: { side: 1 | 2; pressed: boolean; choose: (answer: number) => void }) {
  const left = side === 1;
  return (
    <button
      class="pick"
      aria-label={`${left ? "Left" : "Right"} is better`}
      aria-keyshortcuts={left ? "ArrowLeft 1 F" : "ArrowRight 2 J"}
      aria-pressed={pressed}
      onClick={() => choose(side)}
    >
      {left ? (
        <>
          <Key sign="←" /> Left
        </>
      ) : (
        <>
          Right <Key sign="→" />
        </>
      )}
    </button>
  );
}
