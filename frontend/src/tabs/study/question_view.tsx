// One question after the other: two maps to choose from, or one to rate. By keys, pointer or thumb.

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Session } from "./session";

const RATINGS = ["not at all", "a little", "partly", "well", "very well"];
const SIDES = [
  { place: "left", title: "Left", keys: "ArrowLeft 1 F" },
  { place: "right", title: "Right", keys: "ArrowRight 2 J" },
];

interface Props {
  session: Session;
  leave: () => void;
  /** The next participant is another one. */
  forget: () => void;
}

export function QuestionView({ session: now, leave, forget }: Props) {
  useEffect(() => {
    void now.start(leave);
    const press = (event: KeyboardEvent): void => now.press(event);
    document.addEventListener("keydown", press);
    return () => {
      document.removeEventListener("keydown", press);
      now.clock.pause();
    };
  }, [now]);
  const [shown, ended, { total }] = [now.shown.value, now.ended.value, now.progress.value];
  // The clock starts when the images are on the screen.
  useLayoutEffect(() => {
    now.drawn.value = ended ? "end" : "";
    if (!shown) return;
    let wanted = true;
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (!wanted) return;
        now.clock.begin(shown);
        now.drawn.value = `trial ${shown.trial.position}`;
      }),
    );
    return () => {
      wanted = false;
      now.clock.pause();
    };
  }, [shown, ended]);
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => title.current?.focus(), [shown !== null, ended]);
  if (shown) return <Question session={now} leave={leave} title={title} />;
  if (!ended) return null;
  return (
    <section class="card end">
      <h2 tabIndex={-1} ref={title}>{`All questions are answered, ${now.person}. Thank you.`}</h2>
      <p>{`All ${total} answers are saved.`}</p>
      <div class="row">
        <button class="main" onClick={leave}>Start page of the study</button>
        <button onClick={() => void now.go(total - 1)}>Last question</button>
        <button onClick={() => (forget(), leave())}>Change participant</button>
      </div>
    </section>
  );
}

function Question({ session, leave, title }: Omit<Props, "forget"> & { title: RefObject<HTMLHeadingElement | null> }) {
  const { trial, original, maps } = session.shown.value!;
  const { answered, total, open } = session.progress.value;
  /** The answer that is, or was, given. */
  const answer = session.pending.value ?? trial.answer;
  const pair = trial.kind === "pair";
  const choose = (chosen: number): void => void session.answer(chosen);
  const side = (i: 0 | 1) => {
    const { place, title: name, keys } = SIDES[i]!;
    return (
      <figure class={`side ${place}`}>
        <Shown image={maps[i]!} alt={pair ? `map on the ${place}` : "the map"} />
        {pair && (
          <button class="pick" aria-label={`${name} is better`} aria-keyshortcuts={keys} aria-pressed={answer === i + 1} onClick={() => choose(i + 1)}>
            {i === 0 && <Key sign="←" />}
            {` ${name} `}
            {i === 1 && <Key sign="→" />}
          </button>
        )}
      </figure>
    );
  };
  return (
    <div class="stage">
      <div class="row head">
        <button disabled={trial.position === 0} onClick={() => void session.back()}>Back <Key sign="⌫" /></button>
        <progress aria-label="Questions answered" max={total} value={answered} />
        <span class="count">{`${trial.position + 1} of ${total}`}</span>
        <button class="quiet" onClick={leave}>Stop</button>
      </div>
      <h2 class="question" tabIndex={-1} aria-live="polite" ref={title}>
        {`${trial.question} ${pair ? "Which map explains the prediction better?" : "How well does this map explain the prediction?"}`}
      </h2>
      <div class={`pictures ${trial.kind}`}>
        {side(0)}
        <figure class="original">
          <Shown image={original} alt="the image without a map" />
          <figcaption>The image</figcaption>
        </figure>
        {pair && side(1)}
      </div>
      {!pair && (
        <div class="rates" role="group" aria-label="How well does the map explain the prediction?">
          {RATINGS.map((text, i) => (
            <button
              key={text}
              class="pick"
              aria-keyshortcuts={`${i + 1}`}
              aria-label={`${i + 1}: ${text}`}
              aria-pressed={answer === i + 1}
              onClick={() => choose(i + 1)}
            >
              <Key sign={`${i + 1}`} />
              <span>{text}</span>
            </button>
          ))}
        </div>
      )}
      <div class="row after">
        {trial.position !== open && <button onClick={() => void session.go(open)}>Continue without a change</button>}
      </div>
      <p class="note keys">
        {pair ? (
          <>Keys: <Key sign="←" /> <Key sign="→" /> or <Key sign="1" /> <Key sign="2" /> or <Key sign="F" /> <Key sign="J" />. </>
        ) : (
          <>Keys: <Key sign="1" /> to <Key sign="5" />. </>
        )}
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
